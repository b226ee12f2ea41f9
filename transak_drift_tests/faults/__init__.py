"""The trigger under fire: real processes, sockets and storage, broken on purpose at every step."""
