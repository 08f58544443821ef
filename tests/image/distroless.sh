#!/bin/sh
# A hook of mmdebstrap: unpacks into /distroless what the image gcr.io/distroless/cc-debian12:nonroot has, from the same packages.
set -eu
chroot=$1
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"

folder=$(mktemp -d)
cd "$folder"
apt-get download -qq base-files netbase tzdata ca-certificates libc6 libssl3 gcc-12-base libgcc-s1 libgomp1 libstdc++6 >/dev/null
out=$chroot/distroless
mkdir "$out"
for package in *.deb; do dpkg-deb --extract "$package" "$out"; done
rm -rf "$folder"

# What installing them would do.
rm -rf "$out"/usr/share/doc "$out"/usr/share/man "$out"/usr/share/lintian
mkdir -p "$out/etc/ssl/certs" "$out/home/nonroot" "$out/tmp"
cat "$out"/usr/share/ca-certificates/mozilla/*.crt >"$out/etc/ssl/certs/ca-certificates.crt"
chmod 1777 "$out/tmp"
chown 65532:65532 "$out/home/nonroot"
printf '%s\n' 'root:x:0:0:root:/root:/sbin/nologin' 'nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin' \
    'nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin' >"$out/etc/passwd"
printf '%s\n' 'root:x:0:' 'nobody:x:65534:' 'nonroot:x:65532:' >"$out/etc/group"
echo 'hosts: files dns' >"$out/etc/nsswitch.conf"
