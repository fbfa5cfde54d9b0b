"""The commands: rehearse one commit, or serve a git remote whose pushes are rehearsed."""
