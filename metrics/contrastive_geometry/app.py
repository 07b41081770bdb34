"""The demo of this metric on its Space."""

from pathlib import Path

from widget import interface

interface(Path(__file__).with_name("contrastive_geometry.py")).launch()
