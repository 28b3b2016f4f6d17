"""Sweeps: many trainings that differ in some fields, and which of them was best."""
