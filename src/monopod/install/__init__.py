"""Installs Monopod into any cluster: its objects, as data, and their way there and back.

The objects are made in one place. ``monopod install`` applies them, ``--dry-run`` prints them, and
the chart ``charts/monopod`` is generated from them.
"""
