"""Domain values to protobuf messages, and back where a message is more than its fields."""
