"""``rayatari play``: puts clients, servers, players and recorders together."""
