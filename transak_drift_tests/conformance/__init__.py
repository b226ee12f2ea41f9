"""One set of tests for two Pub/Sub servers: the embedded one and Google's emulator.

Where the emulator is known to deviate from the documented service, the embedded server follows the
documentation; the test says so and asserts both answers.
"""
