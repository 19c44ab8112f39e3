"""The routes of OpenAI's API: requests read strictly, answers in OpenAI's types."""
