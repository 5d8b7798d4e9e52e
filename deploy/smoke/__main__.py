"""`python -m deploy.smoke`, as `make k8s-smoke` calls it."""

from deploy.smoke.check import main

main()
