"""What every HTTP server of the project is made of: the app, its errors, and running it."""
