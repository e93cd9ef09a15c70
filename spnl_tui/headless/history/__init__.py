"""Parts of `spnl-chat history` that are commands of their own."""
