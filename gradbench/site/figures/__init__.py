"""The figures of the site's pages, one file each."""
