"""Messages to people in Slack and by e-mail: their texts and the channels that send them.

Not here: when somebody is notified (`defs`). Imports `settings`, `config`, `drift`,
`trigger` and `reports`.
"""
