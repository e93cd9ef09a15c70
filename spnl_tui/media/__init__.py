"""Images and documents that go with a prompt: checked and converted in a child process, stored by hash."""
