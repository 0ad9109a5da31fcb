"""Timers: schedules of timer triggers, and the loop that fires their functions."""
