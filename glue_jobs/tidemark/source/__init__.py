"""The source side: contract, snapshot, change scan, JDBC readers."""
