module libtls-proxy/goproxy

go 1.26

require golang.org/x/sys v0.47.0

require filippo.io/bigmod v0.1.0
