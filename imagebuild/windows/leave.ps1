# leave.ps1 - dot-sourced after the prelude by the scripts that end with the machine off and its disk in an image: the words on the serial
# port, the release of the DHCP lease with everything of it that a clone would ask for again, the shutdown. PowerShell 2.0 and later; ASCII only.

$TcpIp = 'HKLM:\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters'
$TcpIp6 = 'HKLM:\SYSTEM\CurrentControlSet\Services\Tcpip6\Parameters'

function Write-SerialLine([string]$Port, [string]$Text) {
    # Into the cloud's console log, which can be read when there is no network any more. An empty port is none.
    if ($Port) { [void](Invoke-Program 'cmd.exe' @('/d', '/c', "echo imagebuild: $Text>\\.\$Port")) }
}

function Assert-SerialPort([string]$Port) {
    if ($Port -and $Port -notmatch '^COM\d{1,2}$') { throw "serial_port '$Port': COM1 to COM99" }
}

function Get-LeaseValues {
    # What a clone would ask for again (INIT-REBOOT): path and name of every stored lease value.
    foreach ($key in @(Get-ChildItem -LiteralPath "$TcpIp\Interfaces" -ErrorAction SilentlyContinue)) {
        if ($null -eq $key) { continue }
        foreach ($name in $key.GetValueNames()) { if ($name -match '^(Dhcp.*|Lease.*|T1|T2|AddressType|IsServerNapAware)$') { @{ path = "$TcpIp\Interfaces\$(Split-Path -Leaf $key.Name)"; name = $name } } }
    }
    foreach ($key in @(Get-ChildItem -LiteralPath "$TcpIp6\Interfaces" -ErrorAction SilentlyContinue)) {
        if ($null -eq $key) { continue }
        foreach ($name in $key.GetValueNames()) { if ($name -match '^Dhcpv6') { @{ path = "$TcpIp6\Interfaces\$(Split-Path -Leaf $key.Name)"; name = $name } } }
    }
    foreach ($name in 'DhcpDomain', 'DhcpNameServer') { if ($null -ne (Get-RegistryValue $TcpIp $name)) { @{ path = $TcpIp; name = $name } } }
    if ($null -ne (Get-RegistryValue $TcpIp6 'Dhcpv6DUID')) { @{ path = $TcpIp6; name = 'Dhcpv6DUID' } }     # made once a machine: clones would share it
}

function Clear-Network {
    $released = @()
    foreach ($adapter in @(Get-WmiObject Win32_NetworkAdapterConfiguration -Filter 'DHCPEnabled=True AND IPEnabled=True')) {
        if ($null -ne $adapter) { $released += @{ index = $adapter.Index; code = [int]$adapter.ReleaseDHCPLease().ReturnValue } }
    }
    $values = @(Get-LeaseValues)
    foreach ($value in $values) { Remove-ItemProperty -LiteralPath $value.path -Name $value.name -Force }
    foreach ($key in 'Profiles', 'Signatures\Unmanaged') {
        $path = "HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion\NetworkList\$key"
        # Cosmetic (a clone would be on "Network 27"), so no reason to fail.
        foreach ($network in @(Get-ChildItem -LiteralPath $path -ErrorAction SilentlyContinue)) { if ($null -ne $network) { Remove-Item -LiteralPath "$path\$(Split-Path -Leaf $network.Name)" -Recurse -Force -ErrorAction SilentlyContinue } }
    }
    $left = @(Get-LeaseValues | ForEach-Object { $_.name })
    if ($left.Count -gt 0) { throw "lease values came back after they were cleared: $($left -join ', '); stop the DHCP client's other users and try again" }
    @{ released = $released; cleared = $values.Count }
}

function Restore-Network {
    # A failure after the release must not leave the machine out of reach.
    foreach ($adapter in @(Get-WmiObject Win32_NetworkAdapterConfiguration -Filter 'DHCPEnabled=True')) { if ($null -ne $adapter) { try { [void]$adapter.RenewDHCPLease() } catch { continue } } }
}

function Invoke-Shutdown([int]$Seconds) {
    $arguments = @('/s', '/f', '/t', [string]$Seconds, '/c', 'imagebuild', '/d', 'p:2:4')
    $code = (Invoke-Program 'shutdown.exe' $arguments).code
    if ($code -eq 1190) {                                   # one is scheduled already, perhaps a restart
        [void](Invoke-Program 'shutdown.exe' @('/a'))
        $code = (Invoke-Program 'shutdown.exe' $arguments).code
    }
    if (@(0, 1115) -notcontains $code) { throw "shutdown.exe /s ended with $code" }      # 1115: under way
}
