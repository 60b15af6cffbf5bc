#!/usr/bin/env bash
# Runs tests on a processor that this machine need not be: Bochs emulates a Sapphire Rapids, which has
# AVX-512 and AVX512-BF16, boots Linux from a CD that holds the test binaries, and prints what they print.
# For whether numbers are right, not for speed: one emulated core executes 50 to 80 million instructions a
# second. With a built emulator the tests of `nn` take two minutes; the first build of it takes five more.
#
# usage: emulate.sh [filters of the library's tests; default `nn::`]
#   BOCHS=DIR  a source tree of Bochs 3.0 or later; cloned where it is not given
#   CACHE=DIR  keeps what is built from call to call [default: target/bochs]
#   SCRIPT=FILE  shell commands instead of the tests, for busybox's sh; `lib-tests`, `gradients`, `models`
#              and `pifi-probe` (if built) are in its path
#
# Needs Debian or Ubuntu with g++, make, isolinux, xorriso and cpio; a kernel and busybox are downloaded by
# apt and not installed.
set -euo pipefail
project=$(cd "$(dirname "$0")/../.." && pwd)
cache=${CACHE:-$project/target/bochs}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)

emulator=$cache/build/bochs
if [ ! -x "$emulator" ]; then
  source=${BOCHS:-$cache/source}
  [ -d "$source" ] || git clone --quiet --depth 1 https://github.com/bochs-emu/Bochs "$source"
  [ -d "$source/bochs" ] && source=$source/bochs
  rm -rf "$cache/build"
  cp -r "$source" "$cache/build"
  (cd "$cache/build" && ./configure --enable-cpu-level=6 --enable-x86-64 --enable-evex --enable-avx --enable-amx \
    --enable-all-optimizations --enable-pci --enable-cdrom --enable-vmx=2 --with-nogui && make -j "$(nproc)") \
    >"$cache/build.log" 2>&1 || { tail -n 20 "$cache/build.log" >&2; exit 1; }
fi

if [ ! -f "$cache/vmlinuz" ]; then
  kernel=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ { print $2; exit }')
  (cd "$cache" && apt-get download -q "$kernel" busybox-static && for package in *.deb; do dpkg -x "$package" unpacked; done)
  cp "$cache"/unpacked/boot/vmlinuz-* "$cache/vmlinuz"
  cp "$(find "$cache/unpacked" -name busybox -type f | head -n 1)" "$cache/busybox"
fi

# builds a test and puts it among the emulated machine's programs: its name there, then cargo's arguments
add() {
  cargo test --locked --no-run "${@:2}" >"$cache/cargo.log" 2>&1 || { tail -n 20 "$cache/cargo.log" >&2; exit 1; }
  strip -o "$root/bin/$1" "$(sed -n 's|^ *Executable .*(\(.*\))$|\1|p' "$cache/cargo.log")"
}
root=$cache/root
rm -rf "$root" "$cache/cd"
mkdir -p "$root"/{bin,proc,sys,dev,tmp} "$root$project/tests" "$cache/cd/isolinux"
cp "$cache/busybox" "$root/bin/"
cd "$project"
add lib-tests --lib
add gradients --test gradients
add models --test models
if [ -x target/release/pifi-probe ]; then strip -o "$root/bin/pifi-probe" target/release/pifi-probe; fi
cp -r tests/fixtures "$root$project/tests/"
ldd "$root"/bin/{lib-tests,gradients,models} | grep -o '/[^ ]* (' | cut -d ' ' -f 1 | sort -u |
  while read -r library; do
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
  done
if [ -n "${SCRIPT:-}" ]; then
  cp "$SCRIPT" "$root/script"
else
  echo "lib-tests --test-threads 1 ${*:-nn::}" >"$root/script"
fi
cat >"$root/init" <<END
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
echo "features: \$(grep -m1 ^flags /proc/cpuinfo | tr ' ' '\n' | grep -E 'avx|fma' | tr '\n' ' ')"
cd $project && sh -e /script
echo "ended with \$?"
# what was printed is on its way still
sleep 2
poweroff -f
END
chmod +x "$root/init"
(cd "$root" && find . | cpio --quiet -o -H newc) >"$cache/cd/initramfs"
cp "$cache/vmlinuz" "$cache/cd/"
cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$cache/cd/isolinux/"
# no AMX, and without some features of the kernel that Bochs 3.0 stumbles over
cat >"$cache/cd/isolinux/isolinux.cfg" <<'END'
default linux
label linux
  kernel /vmlinuz
  append initrd=/initramfs console=ttyS0 quiet mitigations=off tsc=reliable nokaslr no5lvl nogbpages noxsaves nosmap nosmep clearcpuid=la57,pku,umip,fsrm,erms
END
xorriso -as mkisofs -quiet -o "$cache/cd.iso" -b isolinux/isolinux.bin -c isolinux/boot.cat -no-emul-boot \
  -boot-load-size 4 -boot-info-table "$cache/cd"

cat >"$cache/bochsrc" <<END
cpu: model=sapphire_rapids, count=1, ips=50000000, exclude_features="amx,amx_int8,amx_bf16"
memory: guest=1024, host=1024
romimage: file=$cache/build/bios/BIOS-bochs-latest
vgaromimage: file=$(find "$cache/build/bios" -name VGABIOS-lgpl-latest.bin)
ata0-master: type=cdrom, path=$cache/cd.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=$cache/printed
display_library: nogui
log: $cache/bochs.log
panic: action=fatal
clock: sync=none
END
: >"$cache/printed"
"$emulator" -q -f "$cache/bochsrc" >"$cache/bochs.out" 2>&1 &
machine=$!
trap 'kill $machine 2>/dev/null || true' EXIT
tail --pid="$machine" -f "$cache/printed" &
while kill -0 "$machine" 2>/dev/null && ! grep -qE '^ended with|Kernel panic' "$cache/printed"; do sleep 1; done
sleep 1
ended=$(sed -n 's/^ended with \([0-9]*\).*/\1/p' "$cache/printed")
[ -n "$ended" ] || { tail -n 5 "$cache/bochs.log" >&2; exit 1; }
exit "$ended"
