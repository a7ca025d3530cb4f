# Ends a builder so that its disk can be booted on another machine, without generalizing it: gives the DHCP lease back, forgets it, shuts down.
# Without that a server made from the disk would take itself for the builder and keep its address. As SYSTEM, in a task of its own (detached):
# after the release there is no network to answer over, so the serial port tells 'NAME releasing', 'NAME shutdown', or 'NAME failed: why'.
# Safe to run again at any time. Parameters: name, serial_port, shutdown_seconds (10). Returns: name, dhcp.
param([string]$ParametersFile)
. (Join-Path (Split-Path -Parent $MyInvocation.MyCommand.Path) 'prelude.ps1')
. (Join-Path (Split-Path -Parent $MyInvocation.MyCommand.Path) 'leave.ps1')

Invoke-GuestScript $ParametersFile {
    param($parameters)
    # Start-SystemJob takes a detached job for begun once its parameters are gone.
    if ($ParametersFile -and (Test-Path -LiteralPath $ParametersFile)) { Remove-Item -LiteralPath $ParametersFile -Force }
    $name = [string](Get-RequiredParameter $parameters 'name')
    if ($name -cnotmatch '^[A-Za-z0-9][A-Za-z0-9-]{0,63}$') { throw "name '$name': 1 to 64 letters, digits and hyphens" }
    $serial = Get-Parameter $parameters 'serial_port' ''
    Assert-SerialPort $serial
    try {
        Write-SerialLine $serial "$name releasing"
        $dhcp = Clear-Network
        Write-SerialLine $serial "$name shutdown"
        Invoke-Shutdown (Get-Parameter $parameters 'shutdown_seconds' 10)
    } catch {
        $record = $_                             # the next catch takes $_ for itself
        Restore-Network
        Write-SerialLine $serial ("$name failed: " + ($record.Exception.Message -replace '[^A-Za-z0-9 .,:;_=+-]+', ' ') + '.')
        throw $record.Exception
    }
    @{ name = $name; dhcp = $dhcp }
}
