"""What a network does with its gradients: diagnosis, explanation, the monitor."""
