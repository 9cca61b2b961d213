"""What operators and newcomers meet: settings, start-up, processes, containers and the words about them."""
