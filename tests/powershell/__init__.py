"""What can be said about the guest scripts without a PowerShell: syntax by a parser, vocabulary by a list, our own rules."""
