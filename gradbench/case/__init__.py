"""A case file: what it may say (`schema`), how it is read (`load`), and the cells that it stands for (`expand`)."""
