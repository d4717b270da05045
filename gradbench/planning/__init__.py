"""How large a batch, and how deep a network, fit into a memory with each strategy."""
