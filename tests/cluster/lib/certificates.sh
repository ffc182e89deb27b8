# shellcheck shell=bash
# The cluster's certificates (P-256, one year) and the kubeconfigs made of them, in the folder PKI.
# Sourced after place.sh; make_certificates is called with the node's address.

PKI=$STATE/lib/node/pki

make_certificates() {
    local address=$1
    (
        umask 077
        mkdir -p "$PKI"
        cd "$PKI" || exit
        authority ca kubernetes
        authority front-proxy-ca front-proxy
        certificate ca apiserver /CN=kube-apiserver serverAuth \
            "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,DNS:localhost,IP:10.96.0.1,IP:127.0.0.1,IP:$address"
        certificate ca kubelet "/O=system:nodes/CN=system:node:$CLUSTER_NAME" serverAuth,clientAuth \
            "DNS:$CLUSTER_NAME,IP:$address"
        certificate ca apiserver-kubelet "/O=system:masters/CN=kube-apiserver-kubelet-client" clientAuth
        certificate front-proxy-ca front-proxy /CN=front-proxy-client clientAuth
        certificate ca admin "/O=system:masters/CN=admin" clientAuth
        certificate ca controller-manager /CN=system:kube-controller-manager clientAuth
        certificate ca scheduler /CN=system:kube-scheduler clientAuth
        certificate ca proxy /CN=system:kube-proxy clientAuth
        openssl ecparam -name prime256v1 -genkey -noout -out service-account.key
        openssl ec -in service-account.key -pubout -out service-account.pub 2>/dev/null
        local name
        for name in kubelet admin controller-manager scheduler proxy; do
            kubeconfig "$name" "https://$address:6443" >"$name.kubeconfig"
        done
    )
}

authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj "/CN=$2" \
        -addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature -keyout "$1.key" -out "$1.crt" 2>/dev/null
}

# certificate AUTHORITY NAME SUBJECT USAGE [ALTERNATIVE-NAMES]
certificate() {
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$3" -keyout "$2.key" 2>/dev/null |
        openssl x509 -req -days 365 -CA "$1.crt" -CAkey "$1.key" -set_serial "0x$(openssl rand -hex 8)" -out "$2.crt" \
            -extfile <(printf 'basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=%s\n%s\n' \
                "$4" "${5:+subjectAltName=$5}") 2>/dev/null
}

# kubeconfig NAME SERVER: on stdout, with the certificates inside.
kubeconfig() {
    cat <<EOF
apiVersion: v1
kind: Config
clusters:
  - name: $CLUSTER_NAME
    cluster:
      server: $2
      certificate-authority-data: $(base64 -w0 ca.crt)
users:
  - name: $1
    user:
      client-certificate-data: $(base64 -w0 "$1.crt")
      client-key-data: $(base64 -w0 "$1.key")
contexts:
  - name: $CLUSTER_NAME
    context: {cluster: $CLUSTER_NAME, user: $1}
current-context: $CLUSTER_NAME
EOF
}
