# pending.ps1 - dot-sourced after the prelude by whoever must know why this Windows wants a restart. Each reason: word, kind
# (hard = restart; soft = what is left lying all the time, as file renames by browsers and virus scanners; wait = servicing is at work: do not
# restart now), text.
# PowerShell 2.0 and later; ASCII only.

function New-Reason([string]$Word, [string]$Kind, [string]$Text) {
    @{ word = $Word; kind = $Kind; text = $Text }
}

function Test-KeyOrValue([string]$Path, [string]$Name) {
    # Sources differ on which of the two it is.
    (Test-Path -LiteralPath "$Path\$Name") -or $null -ne (Get-RegistryValue $Path $Name)
}

function Get-ServicingReasons {
    $windows = 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion'
    $servicing = "$windows\Component Based Servicing"
    if (Test-Path -LiteralPath "$windows\WindowsUpdate\Auto Update\RebootRequired") { New-Reason 'windows_update' 'hard' 'Windows Update asks for a restart' }
    if (Test-Path -LiteralPath "$servicing\RebootPending") { New-Reason 'servicing' 'hard' 'component servicing asks for a restart' }
    if (Test-Path -LiteralPath "$servicing\RebootInProgress") { New-Reason 'servicing_in_progress' 'wait' 'component servicing is finishing a restart' }
    if ((Test-Path -LiteralPath "$servicing\PackagesPending") -and @(Get-ChildItem -LiteralPath "$servicing\PackagesPending").Count -gt 0) { New-Reason 'servicing_packages' 'hard' 'packages wait for a restart' }
    if (Test-Path -LiteralPath "$env:SystemRoot\winsxs\pending.xml") { New-Reason 'servicing_file' 'hard' 'winsxs\pending.xml exists' }
    if (Test-KeyOrValue "$windows\RunOnce" 'DVDRebootSignal') { New-Reason 'setup_media' 'hard' 'RunOnce\DVDRebootSignal is set' }
}

function Get-OtherReasons {
    foreach ($name in 'PendingFileRenameOperations', 'PendingFileRenameOperations2') {
        $files = @(Get-RegistryValue 'HKLM:\SYSTEM\CurrentControlSet\Control\Session Manager' $name | Where-Object { $_ })      # pairs: from, to; an empty "to" deletes
        if ($files.Count -gt 0) { New-Reason ('file_renames' + $name.Substring(27)) 'soft' ('{0} paths in {1}, first {2}' -f $files.Count, $name, $files[0]) }
    }
    $agent = 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate'
    if (Test-Path -LiteralPath "$agent\Auto Update\PostRebootReporting") { New-Reason 'update_reporting' 'soft' 'Windows Update has results of a restart to report' }
    if ((Test-Path -LiteralPath "$agent\Services\Pending") -and @(Get-ChildItem -LiteralPath "$agent\Services\Pending").Count -gt 0) { New-Reason 'update_services' 'soft' 'an update service waits to be registered' }
    $updates = 'HKLM:\SOFTWARE\Microsoft\Updates'
    if ((Get-RegistryValue "$updates\UpdateExeVolatile" 'Flags' 0) -ne 0 -or (Get-RegistryValue $updates 'UpdateExeVolatile' 0) -ne 0) { New-Reason 'update_exe' 'hard' 'an update installer asks for a restart' }
    $names = 'HKLM:\SYSTEM\CurrentControlSet\Control\ComputerName'
    $active = [string](Get-RegistryValue "$names\ActiveComputerName" 'ComputerName' '')
    $wanted = [string](Get-RegistryValue "$names\ComputerName" 'ComputerName' '')
    if ($active -ne $wanted) { New-Reason 'computer_name' 'hard' "the name $active becomes $wanted" }
    $netlogon = 'HKLM:\SYSTEM\CurrentControlSet\Services\Netlogon'
    if ((Test-KeyOrValue $netlogon 'JoinDomain') -or (Test-KeyOrValue $netlogon 'AvoidSpnSet')) { New-Reason 'domain_join' 'hard' 'a domain was joined or left' }
    $manager = 'HKLM:\SOFTWARE\Microsoft\ServerManager'
    if ((Test-KeyOrValue $manager 'CurrentRebootAttempts') -or (Test-KeyOrValue $manager 'CurrentRebootAttemps')) { New-Reason 'server_manager' 'hard' 'Server Manager asks for a restart' }
}

function Get-PendingRebootReasons {
    # The texts that forbid a generalize: the soft ones do not.
    foreach ($reason in @(Get-ServicingReasons) + @(Get-OtherReasons)) { if ($null -ne $reason -and $reason.kind -ne 'soft') { $reason.text } }
}
