#!/bin/busybox sh
# First process of the guest: load the modules, mount everything, give the second serial port a shell.
/bin/busybox mkdir -p /proc /sys /dev /tmp
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
ifconfig lo 127.0.0.1 up
for module in $(cat /modules/order); do
    insmod "/modules/$module.ko" || echo "insmod $module failed"
done
[ -d /sys/kernel/config ] && mount -t configfs configfs /sys/kernel/config
[ -d /sys/kernel/debug ] && mount -t debugfs debugfs /sys/kernel/debug
. /setup
# Held open from here on: opening and closing the port throws away what has arrived.
exec 3<> /dev/ttyS1
stty raw -echo < /dev/ttyS1
echo "@@done 0" > /dev/ttyS1
# Reading the port as a script keeps the shell from being interactive: no prompt, no echo.
exec sh /dev/ttyS1 > /dev/ttyS1 2>&1 < /dev/null
