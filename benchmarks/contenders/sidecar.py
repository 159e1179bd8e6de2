TITLE = "edgeprofile sidecar"
REQUIRES = ()
