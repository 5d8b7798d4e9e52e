"""What it takes to run Afterword: here on one machine, and on Kubernetes."""
