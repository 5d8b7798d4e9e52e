"""What the image, the manifests and compose.yaml do on one machine, by podman or docker, without a cluster."""
