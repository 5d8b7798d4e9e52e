"""What the image and the manifests do together on one machine, by podman, without a cluster."""
