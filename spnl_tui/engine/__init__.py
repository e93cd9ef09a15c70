"""Who runs the models: one runner process for each loaded model, and the service that owns them."""
