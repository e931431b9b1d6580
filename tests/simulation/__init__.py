"""The simulator: production controller and agents, stepped from one event heap, under injected faults.

``python -m tests.simulation --seed S --hosts N --faults all --trace`` replays any run exactly.
"""
