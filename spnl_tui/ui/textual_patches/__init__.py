"""Changes to Textual, each with a link to the upstream issue."""
