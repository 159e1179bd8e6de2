"""What the tests stand on: real servers, a fault-injecting proxy, a checker of recorded histories, bounded waiting."""
