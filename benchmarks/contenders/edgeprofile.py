TITLE = "edgeprofile"
REQUIRES = ()
