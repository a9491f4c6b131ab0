"""Chat models: the protocol, the local engine, servers, and the catalog."""
