"""What runs inside the Argilla server's own venv; imports nothing but itself and that venv."""
