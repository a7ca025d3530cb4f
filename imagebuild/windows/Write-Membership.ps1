# imagebuild script: Write-Membership
# Tells on the serial port how this machine is called and whose member it is, so that it can be known of a desktop that lets nobody in:
#   imagebuild: member name=NAME domain=-                     it is in no domain
#   imagebuild: member name=NAME domain=DNS.NAME trust=ok     or broken; or restart: it has joined, and was not started anew since
# A task that SetupComplete.cmd makes in each clone runs it as SYSTEM at every start. Alone in the image, therefore without the prelude. It
# ends as soon as only a restart could change what it has told, and changes nothing itself. PowerShell 2.0; ASCII only.
param([string]$Port = 'COM1')

$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
Set-StrictMode -Version 2.0

function Get-Trust {
    # A join is whole after the restart that follows it; until then Netlogon keeps this, as a value or as a key.
    $netlogon = 'HKLM:\SYSTEM\CurrentControlSet\Services\Netlogon'
    if ((Test-Path -LiteralPath "$netlogon\JoinDomain") -or ((Test-Path -LiteralPath $netlogon) -and $null -ne (Get-Item -LiteralPath $netlogon).GetValue('JoinDomain', $null))) { return 'restart' }
    # Before the network is up this is an error or false, like a computer account that is somebody else's by now.
    try { if (Test-ComputerSecureChannel) { return 'ok' } } catch { return 'broken' }
    'broken'
}

function ConvertTo-Word([string]$Text) {
    # Nothing that cmd.exe or the reader of the line would take for its own.
    $Text -replace '[^A-Za-z0-9._-]+', '_'
}

function Get-Membership {
    $computer = Get-WmiObject -Class Win32_ComputerSystem
    $name = 'name=' + (ConvertTo-Word ([string]$computer.Name))
    if (-not $computer.PartOfDomain) { return "$name domain=-" }
    "$name domain=$(ConvertTo-Word ([string]$computer.Domain)) trust=$(Get-Trust)"
}

function Write-Console([string]$Text) {
    # False while the port is taken: Cloudbase-Init keeps it open as long as it works. The redirection first: behind a digit it would name a stream.
    $ErrorActionPreference = 'Continue'                 # cmd.exe's words on standard error are no failure of ours
    & cmd.exe /d /c ">\\.\$Port echo imagebuild: $Text" 2>&1 | Out-Null
    $LASTEXITCODE -eq 0
}

$told = ''
for ($look = 1; $look -le 180; $look++) {
    try { $line = 'member ' + (Get-Membership) } catch { $line = '' }       # WMI may not answer yet
    if ($line -and $line -cne $told -and (Write-Console $line)) { $told = $line }
    if ($line -and $line -ceq $told -and -not $line.EndsWith('trust=broken')) { exit 0 }
    Start-Sleep -Seconds 10
}
exit 1
