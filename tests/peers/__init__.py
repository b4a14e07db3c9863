"""Peers for tests and benchmarks: real and artificial mail servers on loopback.

Each is started by the test that needs it, in a scratch folder, on a free port, and stopped by its
process id. Standard library only.
"""
