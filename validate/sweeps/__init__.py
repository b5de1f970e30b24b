"""Sweeps over the settings of a TOML file, trained and predicted; scans, which are sweeps of one method over a grid."""
