/**
 * A self-signed certificate for `localhost` and 127.0.0.1, valid until 2125, for tests of HTTPS on loopback. It protects nothing.
 * Made with `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500 -subj /CN=localhost
 * -addext subjectAltName=DNS:localhost,IP:127.0.0.1`.
 */
export const TLS = {
  key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgg8wU0R/p3rzhQQuc
j1iETqp+0iWbLhQPxNgv3u+TbbWhRANCAARFMNWl8FlOHTeT528oQNQ7PUWjfNF7
BuyB4KeLx4J6eLWNuB6l3+3YtZXobiKC/ILS7aOv97RvPYPMGc4U7rrL
-----END PRIVATE KEY-----`,
  cert: `-----BEGIN CERTIFICATE-----
MIIBmjCCAUGgAwIBAgIUW1Dol42OAQOeRzhiKM0N2IMjwGwwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMjA4NTAxOFoYDzIxMjYxMDI5
MDg1MDE4WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAARFMNWl8FlOHTeT528oQNQ7PUWjfNF7BuyB4KeLx4J6eLWNuB6l3+3Y
tZXobiKC/ILS7aOv97RvPYPMGc4U7rrLo28wbTAdBgNVHQ4EFgQUJZAD8QufdoxW
HvhtPBUZorKctLYwHwYDVR0jBBgwFoAUJZAD8QufdoxWHvhtPBUZorKctLYwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDRwAwRAIgK6NeiK1dhAr/Sp54bAtsy5qG5558NF87s/TEDrc5MssCIBA0
2qrySsG++C9pOmtNqF9x3sXEcEYtcOlEJ+F23e5F
-----END CERTIFICATE-----`,
};
