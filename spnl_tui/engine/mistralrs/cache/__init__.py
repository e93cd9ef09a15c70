"""mistral.rs's prefix cache: what it holds, and how it is filled."""
