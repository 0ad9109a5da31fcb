"""The durable engine: model, replay, engine, storage, client."""
