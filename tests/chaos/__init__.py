"""Tests that end processes at random and at named points, and count afterwards."""
