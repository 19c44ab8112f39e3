"""What a model needs: devices, memory of inference, latency, and the representation that fits."""
