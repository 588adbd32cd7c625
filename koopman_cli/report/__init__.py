"""Reports: a dataclass in, text, JSON, figures or a RUN directory out; nothing computed."""
