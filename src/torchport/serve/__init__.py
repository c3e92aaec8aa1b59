"""Serving Bundles: the Open Inference Protocol over HTTP and gRPC, raw inputs, and a page for people."""
