"""An HTTP server with OpenAI's API, for other programs. Starlette and uvicorn are imported only here."""
