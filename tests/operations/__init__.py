"""Tests of what operators use: settings, startup, processes, containers and CI."""
