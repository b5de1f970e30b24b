"""Sweeps over the settings of a TOML file, trained and predicted; and scans, which are sweeps of one method over a grid."""
