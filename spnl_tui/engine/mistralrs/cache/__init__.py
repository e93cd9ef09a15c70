"""mistral.rs's prefix cache: its contents, and how they are filled in."""
